plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "io.github.mnv4.benchmark"
    compileSdk = 35
    defaultConfig {
        applicationId = "io.github.mnv4.benchmark"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "1"
    }
}

kotlin {
    jvmToolchain(17)
    compilerOptions { allWarningsAsErrors = true }
}

dependencies {
    implementation(project(":mnv4-measure"))
    implementation(project(":mnv4-litert"))
    implementation(project(":mnv4-executorch"))
}
