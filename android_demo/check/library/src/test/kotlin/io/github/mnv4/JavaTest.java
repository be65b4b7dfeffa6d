package io.github.mnv4;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import android.app.Application;
import android.graphics.Bitmap;
import android.graphics.BitmapFactory;
import io.github.mnv4.core.Classification;
import io.github.mnv4.core.Mnv4Exception;
import java.io.File;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/** The library as Java calls it: statics, defaults, and exceptions that javac knows. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, application = Application.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public class JavaTest {
    private static final String NAME = "conv-small-035-96x96-fp32-tflite";
    private final Bitmap seven =
            BitmapFactory.decodeFile(new File(System.getProperty("mnv4.fixtures"), "pictures/seven.jpg").getPath());

    /** Runs what {@link MobileNetV4#open} needs: a thread that is not the main one. */
    private static <T> T aside(Callable<T> block) throws Exception {
        ExecutorService executor = Executors.newSingleThreadExecutor();
        try {
            return executor.submit(block).get();
        } finally {
            executor.shutdown();
        }
    }

    @Test
    public void opensAndClassifies() throws Exception {
        Mnv4Model model = new Mnv4Model(NAME);
        try (MobileNetV4 network = aside(() -> MobileNetV4.open(RuntimeEnvironment.getApplication(), model))) {
            List<Classification> found = network.classifyBlocking(seven);
            assertEquals("7", found.get(0).getLabel());
            assertEquals(5, found.size());
            assertEquals(found, network.runBlocking(Images.INSTANCE.of(seven)).top(5));
        }
    }

    @Test
    public void catches() throws Exception {
        File missing = new File("/nowhere");
        String message =
                aside(
                        () -> {
                            try (MobileNetV4 network = MobileNetV4.open(RuntimeEnvironment.getApplication(), missing, new Options(2))) {
                                return network.getRuntime();
                            } catch (Mnv4Exception error) {
                                return error.getMessage();
                            }
                        });
        assertTrue(message, message.startsWith("/nowhere: not a bundle"));
        assertThrows(IllegalArgumentException.class, () -> new Options(0));
    }
}
