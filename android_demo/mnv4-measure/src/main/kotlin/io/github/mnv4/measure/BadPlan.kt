package io.github.mnv4.measure

/** A job or a plan of a measurement that is not valid or not supported. */
public class BadPlan(
    message: String,
) : Exception(message)
