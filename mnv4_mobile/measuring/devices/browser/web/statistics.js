// Computes the figures that the page shows, and the golden check as mnv4_mobile/bundle/parity.py does.

/** Returns a percentile, interpolated linearly between neighbours as numpy.percentile does. */
export function percentile(values, q) {
  const sorted = Float64Array.from(values).sort();
  const at = ((sorted.length - 1) * q) / 100;
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (at - low);
}

const EXACT_DB = 200;

/** Returns the signal to quantization noise ratio of one image in dB. */
function ratio(reference, found) {
  let signal = 0;
  let noise = 0;
  let same = true;
  for (let i = 0; i < reference.length; i++) {
    signal += reference[i] ** 2;
    noise += (reference[i] - found[i]) ** 2;
    same &&= reference[i] === found[i];
  }
  if (same) return EXACT_DB;
  return Math.min(Math.max(10 * Math.log10(signal / noise), -EXACT_DB), EXACT_DB);
}

/**
 * Returns the median of the images' ratios, or -200 if a value of any image is not finite; both
 * arrays are flat and hold `images` images.
 */
export function sqnr(reference, found, images) {
  if (!reference.every(Number.isFinite) || !found.every(Number.isFinite)) return -EXACT_DB;
  const length = reference.length / images;
  const ratios = Array.from({ length: images }, (_, i) => {
    const part = [i * length, (i + 1) * length];
    return ratio(reference.subarray(...part), found.subarray(...part));
  });
  return percentile(ratios, 50);
}

/** Counts values in bins of equal width, beginning at the smallest; the last bin has all above it. */
export function histogram(values, bins) {
  const low = percentile(values, 0);
  const high = Math.min(percentile(values, 100), 2 * percentile(values, 50));
  const counts = new Array(bins).fill(0);
  for (const value of values) {
    const bin = high > low ? Math.floor(((value - low) / (high - low)) * bins) : 0;
    counts[Math.min(bin, bins - 1)]++;
  }
  return { low, high, counts };
}

/** Returns the probabilities of logits. */
export function softmax(logits) {
  const largest = Math.max(...logits);
  const powers = Array.from(logits, (x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}
