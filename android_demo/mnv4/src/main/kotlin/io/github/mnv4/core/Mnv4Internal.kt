package io.github.mnv4.core

/** Marks what the modules of this library use among themselves. It may change in every version. */
@RequiresOptIn("Only for the modules of this library; it may change in every version.")
@Retention(AnnotationRetention.BINARY)
@Target(AnnotationTarget.CLASS, AnnotationTarget.FUNCTION, AnnotationTarget.PROPERTY)
public annotation class Mnv4Internal
