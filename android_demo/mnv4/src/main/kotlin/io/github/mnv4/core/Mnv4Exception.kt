package io.github.mnv4.core

/** The base of everything that this library throws on purpose. Messages say what was found and what is allowed. */
public sealed class Mnv4Exception(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause) {
    /** A bundle that is incomplete, damaged, or written by a newer version of the generator. */
    public class BadBundle(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)

    /** The app does not contain the runtime that the bundle is for; the message has the line to add. */
    public class MissingRuntime(
        message: String,
    ) : Mnv4Exception(message)

    /** An image that cannot be used. */
    public class BadImage(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)

    /** An output missed the accuracy that the bundle's golden pair demands: its values on this device are wrong. */
    public class WrongOutput(
        message: String,
    ) : Mnv4Exception(message)

    /** The app's storage cannot take an artifact that must be extracted: it is full, or cannot be written. */
    public class Storage(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)

    /** The bundle does not have the requested output or input size, or its runtime cannot do what the options ask for. */
    public class Unsupported(
        message: String,
    ) : Mnv4Exception(message)

    /** The runtime failed while loading or running the network. */
    public class RuntimeFailed(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)
}
