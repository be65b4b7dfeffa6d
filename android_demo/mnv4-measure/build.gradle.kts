plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "io.github.mnv4.measure"
    compileSdk = 35
    defaultConfig { minSdk = 26 }
}

kotlin {
    explicitApi()
    jvmToolchain(17)
    compilerOptions {
        allWarningsAsErrors = true
        optIn.add("io.github.mnv4.core.Mnv4Internal")
    }
}

dependencies {
    api(project(":mnv4"))
}
