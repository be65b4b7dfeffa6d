import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    id("com.android.library")
    `maven-publish`
}

group = "io.github.mnv4"
version = "1.0"

android {
    namespace = "io.github.mnv4.litert"
    compileSdk = 36
    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }
    publishing { singleVariant("release") { withSourcesJar() } }
}

kotlin {
    compilerOptions {
        jvmTarget = JvmTarget.JVM_11
        optIn.add("io.github.mnv4.core.Mnv4Internal")
    }
}

/** The project in whose folder these modules are. */
val sdk = path.substringBeforeLast(":")

dependencies {
    api(project("$sdk:mnv4"))
    implementation("com.google.ai.edge.litert:litert:2.3.0")
}

publishing {
    publications {
        register<MavenPublication>("release") {
            afterEvaluate { from(components["release"]) }
        }
    }
}
