package io.github.mnv4.app

import java.io.File

/** TensorFlow Lite for the JVM: the real runtime, built for Linux by the Deep Java Library. */
object NativeLiteRt {
    private val loaded by lazy {
        val library = "/native/lib/libtensorflowlite_jni.so"
        val stream = checkNotNull(NativeLiteRt::class.java.getResourceAsStream(library)) { "$library is missing" }
        val file = File.createTempFile("tensorflowlite", ".so")
        file.deleteOnExit()
        stream.use { input -> file.outputStream().use(input::copyTo) }
        @Suppress("UnsafeDynamicallyLoadedCode")
        System.load(file.path)
    }

    fun load(): Unit = loaded
}
