package io.github.mnv4.check

import org.junit.Assert.assertEquals
import org.junit.Assert.assertFalse
import org.junit.Assert.assertTrue
import org.junit.Test
import proguard.Configuration
import proguard.ConfigurationParser
import proguard.ProGuard
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Properties
import java.util.zip.ZipFile
import kotlin.math.abs

/** What is left of the library and its runtimes in an app that is shrunk still runs. */
class ShrunkTest {
    private val bundles =
        listOf("conv-small-035-96x96-fp32-tflite", "conv-small-035-96x96-fp32-executorch")
            .map { File(System.getProperty("mnv4.fixtures"), "bundles/$it") }

    @Test
    fun `a shrunk program runs both runtimes`() {
        val jars = shrunk()
        val names = jars.flatMap { jar -> ZipFile(jar).use { zip -> zip.entries().toList().map { it.name } } }
        // They are kept as ExecuTorch's library registers their methods; what they alone use is not.
        assertTrue("org/pytorch/executorch/extension/llm/LlmModule.class" in names)
        assertFalse("org/pytorch/executorch/extension/llm/LlmGenerationConfig.class" in names)
        assertFalse("io/github/mnv4/core/ModelBundle.class" in names)
        // LiteRT's native code finds it by its name.
        assertTrue("com/google/ai/edge/litert/LiteRtException.class" in names)
        assertFalse("com/google/ai/edge/litert/CompiledModel.class" in names)
        val said = run(jars)
        assertEquals(
            listOf("ran tflite 2.16.1", "ran executorch (XnnpackBackend)"),
            said.map { it.substringBefore(": ") },
        )
        for ((line, bundle) in said zip bundles) {
            val values = line.substringAfter(": ")
            val wanted = eager(bundle)
            values.split(" ").forEachIndexed { i, value -> assertTrue(line, abs(value.toFloat() - wanted[i]) < 1e-3f) }
        }
    }

    private fun eager(bundle: File): FloatArray {
        val bytes = bundle.resolve("golden/eager.logits.bin").readBytes()
        val values = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
        return FloatArray(10).also(values::get)
    }

    /** Shrinks, optimizes and renames the program and what it needs. */
    private fun shrunk(): List<File> {
        val classes =
            listOf(
                "io.github.mnv4.check.ProgramKt",
                "io.github.mnv4.RuntimeProvider",
                "io.github.mnv4.litert.LiteRtProvider",
                "io.github.mnv4.executorch.ExecuTorchProvider",
                "org.tensorflow.lite.Interpreter",
                "org.tensorflow.lite.InterpreterApi",
                "com.google.ai.edge.litert.LiteRtException",
                "org.pytorch.executorch.Module",
                "com.facebook.jni.HybridData",
                "com.facebook.soloader.nativeloader.NativeLoader",
                "kotlin.Unit",
            )
        val given = classes.map(::origin).distinct()
        val jars = given.indices.map { File("target/shrunk/$it.jar").absoluteFile }
        val jmods = listOf("java.base", "java.logging").map { "${System.getProperty("java.home")}/jmods/$it.jmod" }
        val text =
            given.flatMapIndexed { i, jar -> listOf("-injars '$jar'($ENTRIES)", "-outjars '${jars[i]}'") } +
                jmods.map { "-libraryjars '$it'(!**.jar;!module-info.class)" } +
                "-libraryjars '$json'" +
                RULES.map { "-include '${File(it).absolutePath}'" } +
                PROGRAM
        val file = File("target/shrunk/program.pro").absoluteFile
        file.parentFile.mkdirs()
        file.writeText(text.joinToString("\n"))
        val configuration = Configuration()
        ConfigurationParser(arrayOf("@$file"), Properties()).use { it.parse(configuration) }
        ProGuard(configuration).execute()
        return jars
    }

    /** Parts of Android, so they are not shrunk. */
    private val json = origin("org.json.JSONObject")
    private val framework = origin("android.content.Context")

    private fun origin(name: String): File =
        File(
            Class
                .forName(name, false, javaClass.classLoader)
                .protectionDomain.codeSource.location
                .toURI(),
        )

    /** Returns what the program prints in a process of its own. */
    private fun run(jars: List<File>): List<String> {
        val java = "${System.getProperty("java.home")}/bin/java"
        val native = "-Djava.library.path=${System.getProperty("java.library.path")}"
        val command =
            listOf(java, native, "-cp", (jars + json + framework).joinToString(":"), "io.github.mnv4.check.ProgramKt")
        val process =
            ProcessBuilder(command + bundles.map { it.path })
                .directory(File("target/shrunk")) // where a JVM that crashes leaves its report
                .redirectErrorStream(true)
                .start()
        val text = process.inputStream.bufferedReader().readText()
        assertEquals(text, 0, process.waitFor())
        return text.lines().filter { it.startsWith("ran ") }
    }

    private companion object {
        const val ENTRIES = "!META-INF/MANIFEST.MF,!META-INF/versions/**,!META-INF/**.kotlin_module"
        val RULES = listOf("../../mnv4-litert/consumer-rules.pro", "../../mnv4-executorch/consumer-rules.pro")

        /**
         * The program itself, LiteRT's own rules as R8 reads them (a class that is kept keeps no constructor),
         * those of the Android Gradle Plugin, and what R8 does unasked.
         * Classes of earlier sources may lie beside those of today, and lack what they call.
         */
        const val PROGRAM = """
            -keep class io.github.mnv4.check.ProgramKt { void main(java.lang.String[]); }
            -keep @org.tensorflow.lite.annotations.UsedByReflection class * {
                @org.tensorflow.lite.annotations.UsedByReflection *;
            }
            -keepclasseswithmembernames,includedescriptorclasses class * { native <methods>; }
            -keep,allowobfuscation class * implements io.github.mnv4.RuntimeProvider { <init>(); }
            -keepnames interface io.github.mnv4.RuntimeProvider
            -adaptresourcefilecontents META-INF/services/*
            -dontnote **
            -dontwarn android.**,kotlinx.coroutines.**,org.checkerframework.**,org.jetbrains.annotations.**
            -dontwarn io.github.mnv4.**
        """
    }
}
