"""What `mnv4 sdk` writes: a library for apps, with bundles inside."""
