plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "io.github.mnv4.executorch"
    compileSdk = 35
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
}

kotlin {
    explicitApi()
    jvmToolchain(17)
    compilerOptions { optIn.add("io.github.mnv4.core.Mnv4Internal") }
}

dependencies {
    api(project(":mnv4"))
    implementation("org.pytorch:executorch-android:1.5.1")
}
