import numpy as np
import pytest

from mnv4_mobile.bundle.parity import (
    EXACT_DB,
    check,
    check_agreement,
    compare,
    median_db,
    same_class,
    sqnr_db,
)
from mnv4_mobile.errors import ParityError
from mnv4_mobile.records import MAX_FLOAT, replace


def test_sqnr_is_that_of_its_definition():
    reference = np.array([[3.0, 4.0], [1.0, 0.0]])
    found = np.array([[3.0, 4.5], [1.0, 0.1]])
    np.testing.assert_allclose(sqnr_db(reference, found), [20.0, 20.0])


def test_one_exploding_image_does_not_decide():
    reference = np.ones((11, 4))
    found = reference + 1e-3
    found[0] += 1e6
    parity = compare(reference, found, classes=False, gate_db=50)
    assert parity.sqnr_db == pytest.approx(60)
    assert parity.sqnr_db_p10 == pytest.approx(60)
    assert sqnr_db(reference, found).min() < -100
    check({"y": parity}, "it")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_fails(bad):
    parity = compare(np.ones((1, 3)), np.array([[1.0, bad, 1.0]]), classes=True, gate_db=30)
    assert parity.sqnr_db == -EXACT_DB
    with pytest.raises(ParityError, match=r"it: .* logits at -200\.0 dB .*must be 30 or more"):
        check({"logits": parity}, "it")


def test_equal_tensors_are_exact_even_when_they_are_zero():
    assert sqnr_db(np.zeros((2, 3)), np.zeros((2, 3))).tolist() == [EXACT_DB, EXACT_DB]
    assert sqnr_db(np.zeros((1, 3)), np.full((1, 3), 1e-9)).tolist() == [-EXACT_DB]


def test_agreement_counts_images():
    reference = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    found = reference[:, ::-1].copy()
    found[:2] = reference[:2]
    parity = compare(reference, found, classes=True, gate_db=0)
    assert parity.top1_agreement == 0.5
    assert parity.n == 4
    assert parity.max_abs == 1.0


def test_scores_that_are_not_finite_name_no_class():
    scores = np.array([[np.nan, 1.0], [0.0, np.inf], [0.0, 1.0]])
    assert same_class(np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), scores).tolist() == [
        False,
        False,
        True,
    ]


def test_another_shape_is_a_parity_error():
    with pytest.raises(ParityError, match=r"shape \(1, 3\), must be \(1, 4\)"):
        compare(np.ones((1, 4)), np.ones((1, 3)), classes=True, gate_db=30)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_one_image_that_is_not_finite_fails(bad):
    reference = np.ones((4, 3))
    found = reference.copy()
    found[3, 1] = bad
    for a, b in ((reference, found), (found, reference)):
        parity = compare(a, b, classes=False, gate_db=-200)
        assert (parity.sqnr_db, parity.max_abs) == (-EXACT_DB, MAX_FLOAT)
        with pytest.raises(ParityError):
            check({"y": parity}, "it")
    assert median_db(reference, found) == -EXACT_DB
    assert np.isfinite(sqnr_db(found, reference)).all()


def test_a_comparison_with_nan_fails():
    passed = compare(np.ones((1, 3)), np.ones((1, 3)), classes=False, gate_db=30)
    check({"y": passed}, "it")
    for wrong in (replace(passed, gate_db=np.nan), replace(passed, sqnr_db=np.nan)):
        with pytest.raises(ParityError):
            check({"y": wrong}, "it")
    check_agreement(0.9, 0.9, "it")
    for agreement, gate in ((np.nan, 0.9), (0.9, np.nan)):
        with pytest.raises(ParityError):
            check_agreement(agreement, gate, "it")
