package androidx.test.platform.app;

import android.app.Instrumentation;
import android.os.Bundle;

/** Stub. */
public final class InstrumentationRegistry {
  private static Instrumentation instrumentation;

  public static Instrumentation getInstrumentation() {
    return instrumentation;
  }

  public static void registerInstance(Instrumentation found, Bundle arguments) {
    instrumentation = found;
  }
}
