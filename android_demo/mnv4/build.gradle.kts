plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "io.github.mnv4"
    compileSdk = 35
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    // LiteRT maps its models from the app's file, which the app module must allow as well.
    androidResources { noCompress += "tflite" }
}

kotlin {
    explicitApi()
    jvmToolchain(17)
}

dependencies {
    // An app needs only the runtime of its bundles.
    compileOnly("com.google.ai.edge.litert:litert:1.4.0")
    compileOnly("org.pytorch:executorch-android:1.5.1")
    // runtimes
    testImplementation("junit:junit:4.13.2")
    testImplementation("org.json:json:20240303")
}
