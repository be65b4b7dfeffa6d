import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "io.github.mnv4.app"
    compileSdk = 36
    defaultConfig {
        applicationId = "io.github.mnv4.app"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "1"
    }
    buildTypes {
        release {
            isMinifyEnabled = true
            proguardFiles(getDefaultProguardFile("proguard-android-optimize.txt"))
            // So that it installs; a store's key replaces it.
            signingConfig = signingConfigs.getByName("debug")
        }
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_11
        allWarningsAsErrors = true
    }
}

dependencies {
    implementation(project(":mnv4-measure"))
    implementation(project(":mnv4-litert"))
    implementation(project(":mnv4-executorch"))
    implementation("org.jetbrains.kotlinx:kotlinx-coroutines-android:1.10.2")
}

/** Copies bundles of `mnv4 build` into the assets: `-Pmnv4.bundles=FOLDER`, by default `../out`. */
abstract class CopyBundles : DefaultTask() {
    @get:InputFiles
    abstract val bundles: ConfigurableFileTree

    @get:OutputDirectory
    abstract val assets: DirectoryProperty

    @get:Inject
    abstract val files: FileSystemOperations

    @TaskAction
    fun copy() {
        files.sync {
            from(bundles)
            into(assets.dir("mnv4"))
        }
    }
}

val copyBundles by tasks.registering(CopyBundles::class) {
    val folder = providers.gradleProperty("mnv4.bundles").orElse("../out")
    bundles.from(rootProject.layout.projectDirectory.dir(folder))
    bundles.include("*-tflite/**", "*-executorch/**")
}

androidComponents {
    onVariants { it.sources.assets?.addGeneratedSourceDirectory(copyBundles, CopyBundles::assets) }
}
