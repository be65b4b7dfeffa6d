package io.github.mnv4

import android.content.Context
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test
import java.io.File
import java.lang.reflect.InvocationTargetException
import java.net.URL
import java.net.URLClassLoader

/** An app that has the library, but not the runtime of a bundle. */
class MissingRuntimeTest {
    /** Has the library's main module alone. */
    private class Alone(
        path: URL,
        private val others: ClassLoader,
    ) : URLClassLoader(arrayOf(path), null) {
        override fun findClass(name: String): Class<*> =
            if (name.startsWith("io.github.mnv4.")) super.findClass(name) else others.loadClass(name)
    }

    private fun refused(bundle: String): String {
        val here = MobileNetV4::class.java
        val loader = Alone(here.protectionDomain.codeSource.location, here.classLoader)
        val open = loader.loadClass(here.name).getMethod("open", Context::class.java, File::class.java)
        val error =
            assertThrows(
                InvocationTargetException::class.java,
            ) { open.invoke(null, Fixtures.context, Fixtures.bundle(bundle)) }
        assertEquals("MissingRuntime", error.cause!!.javaClass.simpleName)
        return error.cause!!.message!!
    }

    @Test
    fun `the message is the line to add`() {
        val executorch = refused("conv-small-035-96x96-fp32-executorch")
        assertTrue(executorch, "implementation(project(\":mnv4-executorch\"))" in executorch)
        val litert = refused("conv-small-035-96x96-fp32-tflite")
        assertTrue(litert, "implementation(project(\":mnv4-litert\"))" in litert)
    }
}
