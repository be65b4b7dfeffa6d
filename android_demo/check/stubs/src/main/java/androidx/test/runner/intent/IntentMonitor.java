package androidx.test.runner.intent;

/** Stub. */
public interface IntentMonitor {}
