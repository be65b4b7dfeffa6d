pluginManagement {
    repositories {
        google()
        mavenCentral()
        gradlePluginPortal()
    }
}

dependencyResolutionManagement {
    repositories {
        google()
        mavenCentral()
    }
}

rootProject.name = "mnv4-android"
include(":mnv4", ":mnv4-litert", ":mnv4-executorch", ":mnv4-camerax", ":mnv4-measure", ":benchmark", ":app")
