package io.github.mnv4.check;

import org.robolectric.config.AndroidConfigurer;
import org.robolectric.internal.bytecode.InstrumentationConfiguration;
import org.robolectric.internal.bytecode.Interceptors;
import org.robolectric.internal.bytecode.ShadowProviders;

/**
 * Keeps the runtimes' classes out of Robolectric's class loaders, one of which there is for each
 * version of Android: a JVM loads a native library for the classes of one loader only. Robolectric
 * finds this class in META-INF/services.
 */
public final class OneRuntime extends AndroidConfigurer {
  public OneRuntime(ShadowProviders shadows) {
    super(shadows);
  }

  @Override
  public void configure(InstrumentationConfiguration.Builder builder, Interceptors interceptors) {
    super.configure(builder, interceptors);
    builder.doNotAcquirePackage("org.tensorflow.lite.");
    builder.doNotAcquirePackage("org.pytorch.executorch.");
    builder.doNotAcquirePackage("com.facebook.");
  }
}
