plugins {
    id("com.android.library")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "io.github.mnv4"
    compileSdk = 35
    defaultConfig { minSdk = 26 }
}

kotlin {
    explicitApi()
    jvmToolchain(17)
    compilerOptions { optIn.add("io.github.mnv4.core.Mnv4Internal") }
}

dependencies {
    testImplementation("junit:junit:4.13.2")
    testImplementation("org.json:json:20240303")
}
