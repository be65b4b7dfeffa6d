package androidx.test.runner.intent;

/** Stub. */
public final class IntentStubberRegistry {
  public static boolean isLoaded() {
    return false;
  }
}
