package androidx.test.runner.intent;

/** Stub. */
public final class IntentMonitorRegistry {
  public static void registerInstance(IntentMonitor monitor) {}
}
