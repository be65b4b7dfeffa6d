package androidx.test.runner.lifecycle;

/** Stub. */
public enum ApplicationStage {
  PRE_ON_CREATE,
  CREATED
}
