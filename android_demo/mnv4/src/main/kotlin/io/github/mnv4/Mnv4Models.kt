package io.github.mnv4

/** The bundles in this module's assets; `mnv4 sdk android` writes this file anew. */
public object Mnv4Models {
    /** All of them. */
    public val ALL: List<Mnv4Model> = emptyList()
}
