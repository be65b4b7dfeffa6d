package androidx.test.runner.lifecycle;

/** Stub. */
public final class ApplicationLifecycleMonitorRegistry {
  public static void registerInstance(ApplicationLifecycleMonitor monitor) {}
}
