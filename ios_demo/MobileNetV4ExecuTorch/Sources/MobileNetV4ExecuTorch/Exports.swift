// One import for apps.
@_exported import MobileNetV4Kit
