import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "io.github.mnv4.benchmark"
    compileSdk = 36
    defaultConfig {
        applicationId = "io.github.mnv4.benchmark"
        minSdk = 26
        targetSdk = 36
        versionCode = 1
        versionName = "1"
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
    implementation("com.google.ai.edge.litert:litert-gpu:2.3.0")
}
