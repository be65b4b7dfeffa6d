package androidx.test.runner.lifecycle;

/** Stub. */
public interface ActivityLifecycleMonitor {}
