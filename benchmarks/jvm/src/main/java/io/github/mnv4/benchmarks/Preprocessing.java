package io.github.mnv4.benchmarks;

import io.github.mnv4.core.FramePlane;
import io.github.mnv4.core.Orientation;
import io.github.mnv4.core.PixelSource;
import io.github.mnv4.core.PreprocessSpec;
import io.github.mnv4.core.Preprocessor;
import io.github.mnv4.core.TensorSpec;
import io.github.mnv4.core.YuvPixels;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** Times the way from an image to the input of conv-small; benchmarks/preprocessing.py writes the files. */
@State(Scope.Thread)
@BenchmarkMode(Mode.SampleTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Fork(1)
@Warmup(iterations = 5, time = 1)
@Measurement(iterations = 5, time = 1)
public class Preprocessing {
    private static final Path FOLDER = Path.of(System.getProperty("mnv4.frame", "."));
    private static final int WIDTH = 640;
    private static final int HEIGHT = 480;
    private static final int ROW_STRIDE = 704;
    private static final int SIDE = 224;

    /** A frame of a camera, or the same image in an array, whose rows are copied as those of a bitmap. */
    @Param({"camera", "bitmap"})
    public String source;

    private ByteBuffer luma;
    private ByteBuffer blue;
    private ByteBuffer red;
    private int[] pixels;
    private Preprocessor preprocessor;
    private final ByteBuffer input =
            ByteBuffer.allocateDirect(3 * SIDE * SIDE * Float.BYTES).order(ByteOrder.nativeOrder());

    private static ByteBuffer direct(String name) throws IOException {
        byte[] bytes = Files.readAllBytes(FOLDER.resolve(name));
        return ByteBuffer.allocateDirect(bytes.length).put(bytes).rewind();
    }

    @Setup
    public void open() throws IOException {
        luma = direct("y");
        ByteBuffer chroma = direct("vu");
        red = chroma.slice(0, chroma.capacity() - 1);
        blue = chroma.slice(1, chroma.capacity() - 1);
        pixels = new int[WIDTH * HEIGHT];
        direct("upright").order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(pixels);
        List<Float> mean = List.of(0.485f, 0.456f, 0.406f);
        List<Float> std = List.of(0.229f, 0.224f, 0.225f);
        PreprocessSpec spec = new PreprocessSpec(SIDE, SIDE, 0.875, "bicubic", mean, std);
        TensorSpec tensor = new TensorSpec("image", "image", List.of(1, SIDE, SIDE, 3), "float32", "nhwc", null);
        preprocessor = new Preprocessor(spec, tensor);
        if (!Arrays.equals(preprocessor.resized(image()), Files.readAllBytes(FOLDER.resolve("resized")))) {
            throw new IllegalStateException("the resized image differs from Python's");
        }
    }

    private PixelSource image() {
        if (source.equals("bitmap")) return new Bitmap(pixels);
        FramePlane y = new FramePlane(luma, ROW_STRIDE, 1);
        FramePlane u = new FramePlane(blue, ROW_STRIDE, 2);
        FramePlane v = new FramePlane(red, ROW_STRIDE, 2);
        return new YuvPixels(y, u, v, 0, 0, WIDTH, HEIGHT, Orientation.ofDegrees(90));
    }

    @Benchmark
    public ByteBuffer prepare() {
        preprocessor.prepare(image(), input);
        return input;
    }

    /** The upright image. */
    private static final class Bitmap implements PixelSource {
        private final int[] pixels;

        Bitmap(int[] pixels) {
            this.pixels = pixels;
        }

        @Override
        public int getWidth() {
            return HEIGHT;
        }

        @Override
        public int getHeight() {
            return WIDTH;
        }

        @Override
        public Orientation getOrientation() {
            return Orientation.UPRIGHT;
        }

        @Override
        public void read(int left, int top, int width, int height, int[] into) {
            for (int y = 0; y < height; y++) {
                System.arraycopy(pixels, (top + y) * HEIGHT + left, into, y * width, width);
            }
        }
    }
}
