package androidx.test.runner.lifecycle;

/** Stub. */
public final class ActivityLifecycleMonitorRegistry {
  public static void registerInstance(ActivityLifecycleMonitor monitor) {}
}
