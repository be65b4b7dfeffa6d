package io.github.mnv4.core

/** Everything that this library raises on purpose. The message names what was found and what is allowed. */
public sealed class Mnv4Exception(
    message: String,
    cause: Throwable? = null,
) : Exception(message, cause) {
    /** A bundle that is incomplete, damaged, or written by a newer version of the generator. */
    public class BadBundle(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)

    /** The app does not contain the runtime that the bundle is for; the message is the line to add. */
    public class MissingRuntime(
        message: String,
    ) : Mnv4Exception(message)

    /** A picture that cannot be used. */
    public class BadPicture(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)

    /** The bundle does not have what was asked of it: classes, an embedding, feature maps. */
    public class Unsupported(
        message: String,
    ) : Mnv4Exception(message)

    /** A plan of a measurement that cannot be followed. */
    public class BadPlan(
        message: String,
    ) : Mnv4Exception(message)

    /** The runtime failed while loading or running the network. */
    public class RuntimeFailed(
        message: String,
        cause: Throwable? = null,
    ) : Mnv4Exception(message, cause)
}
