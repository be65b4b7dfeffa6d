package androidx.camera.core;

import android.graphics.Rect;
import java.nio.ByteBuffer;

/** What mnv4-camerax calls, as CameraX declares it. */
public interface ImageProxy extends AutoCloseable {
    @Override
    void close();

    Rect getCropRect();

    int getFormat();

    PlaneProxy[] getPlanes();

    ImageInfo getImageInfo();

    interface PlaneProxy {
        int getRowStride();

        int getPixelStride();

        ByteBuffer getBuffer();
    }
}
