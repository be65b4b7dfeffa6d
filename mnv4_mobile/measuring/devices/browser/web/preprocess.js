// Resizes, crops and normalises as mnv4_mobile/images.py specifies, with the same words and
// numbers. Images are {width, height, data} with three bytes per pixel.

const rint = (x) => {
  const low = Math.floor(x);
  const rest = x - low;
  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;
  return low % 2 === 0 ? low : low + 1;
};

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

const KERNELS = {
  bilinear: { radius: 1, f: (x) => 1 - Math.abs(x) },
  bicubic: {
    radius: 2,
    f: (x) => {
      const a = Math.abs(x);
      return a < 1 ? (1.5 * a - 2.5) * a * a + 1 : ((-0.5 * a + 2.5) * a - 4) * a + 2;
    },
  },
  lanczos: { radius: 3, f: (x) => sinc(x) * sinc(x / 3) },
};

/** Returns the height and width to which an image is resized, so that it covers the crop. */
export function resizedTo(height, width, { size, crop }) {
  const [th, tw] = size.map((side) => Math.floor(side / crop));
  if (th !== tw) {
    const ratio = Math.min(height / th, width / tw);
    return [rint(height / ratio), rint(width / ratio)];
  }
  const shorter = Math.min(height, width);
  return [Math.floor((th * height) / shorter), Math.floor((th * width) / shorter)];
}

/** Returns the first source value and the weights for each of m values made from n. */
function filters(n, m, interpolation) {
  const scale = n / m;
  if (interpolation === "nearest") {
    let p = scale / 2;
    return Array.from({ length: m }, () => {
      const from = Math.floor(p);
      p += scale;
      return { from, weights: Int32Array.of(2 ** 22) };
    });
  }
  const { radius, f } = KERNELS[interpolation];
  const s = Math.max(scale, 1);
  const inside = (x) => (Math.abs(x) < radius ? f(x) : 0);
  return Array.from({ length: m }, (_, i) => {
    const c = (i + 0.5) * scale;
    const from = Math.floor(Math.max(c - radius * s + 0.5, 0));
    const to = Math.min(Math.floor(c + radius * s + 0.5), n);
    const weights = [];
    let sum = 0;
    for (let j = from; j < to; j++) {
      const weight = inside((j - c + 0.5) * (1 / s));
      weights.push(weight);
      sum += weight;
    }
    const fixed = (weight) => {
      const x = (weight / sum) * 2 ** 22;
      return Math.sign(x) * Math.floor(Math.abs(x) + 0.5); // halves away from zero
    };
    return { from, weights: Int32Array.from(weights, fixed) };
  });
}

/** Filters along one axis: `count` lines; `line` and `step` are the distances of lines and values. */
function filtered(source, target, taps, count, line, step) {
  for (let i = 0; i < taps.length; i++) {
    const { from, weights } = taps[i];
    for (let l = 0; l < count; l++) {
      let at = l * line.source + from * step.source;
      let red = 2 ** 21;
      let green = 2 ** 21;
      let blue = 2 ** 21;
      for (let j = 0; j < weights.length; j++, at += step.source) {
        const weight = weights[j]; // the sums stay within 31 bits
        red = (red + Math.imul(weight, source[at])) | 0;
        green = (green + Math.imul(weight, source[at + 1])) | 0;
        blue = (blue + Math.imul(weight, source[at + 2])) | 0;
      }
      // A clamped array clips; its rounding has no effect, because the values are whole.
      const to = l * line.target + i * step.target;
      target[to] = red >> 22;
      target[to + 1] = green >> 22;
      target[to + 2] = blue >> 22;
    }
  }
}

/** Returns the image in another size, with 8-bit values between the passes over width and height. */
export function resize({ width, height, data }, [toHeight, toWidth], interpolation) {
  const source = new Uint8ClampedArray(data.buffer, data.byteOffset, data.length);
  const row = toWidth * 3;
  let wide = source;
  if (width !== toWidth) {
    wide = new Uint8ClampedArray(height * row);
    const taps = filters(width, toWidth, interpolation);
    const pixel = { source: 3, target: 3 };
    for (let y = 0; y < height; y++) {
      // Row by row, because that reads memory in order.
      const line = source.subarray(y * width * 3, (y + 1) * width * 3);
      filtered(line, wide.subarray(y * row, (y + 1) * row), taps, 1, pixel, pixel);
    }
  }
  if (height === toHeight) return { width: toWidth, height, data: wide };
  const high = new Uint8ClampedArray(toHeight * row);
  const taps = filters(height, toHeight, interpolation);
  filtered(wide, high, taps, toWidth, { source: 3, target: 3 }, { source: row, target: row });
  return { width: toWidth, height: toHeight, data: high };
}

/** Returns the bytes of a model's input, H x W x 3: resized to cover it, cropped from the centre. */
export function pixels(image, preprocess) {
  const [height, width] = preprocess.size;
  const to = resizedTo(image.height, image.width, preprocess);
  const resized = resize(image, to, preprocess.interpolation);
  const top = rint((resized.height - height) / 2);
  const left = rint((resized.width - width) / 2);
  const cropped = new Uint8Array(height * width * 3);
  for (let y = 0; y < height; y++) {
    const at = ((top + y) * resized.width + left) * 3;
    cropped.set(resized.data.subarray(at, at + width * 3), y * width * 3);
  }
  return cropped;
}

const LIMITS = { uint8: [0, 255], int8: [-128, 127] };
const ARRAYS = { float32: Float32Array, uint8: Uint8Array, int8: Int8Array };

/** Returns what each byte of a channel becomes: unchanged, normalised, or normalised and quantized. */
function table(input, mean, std) {
  const { dtype, quantization } = input;
  return Array.from({ length: 256 }, (_, byte) => {
    if (dtype === "uint8" && !quantization) return byte;
    const centred = Math.fround(Math.fround(byte / 255) - Math.fround(mean));
    const normalised = Math.fround(centred / Math.fround(std));
    if (!quantization) return normalised;
    const integer = rint(Math.fround(normalised / Math.fround(quantization.scale))) + quantization.zero_point;
    const [low, high] = LIMITS[dtype];
    return Math.min(Math.max(integer, low), high);
  });
}

/**
 * Returns an artifact's input, made from the bytes of one or more images: a whole batch, in the
 * artifact's layout, and normalised unless the artifact does that.
 */
export function feed(bytes, input, { size, mean, std }) {
  const area = size[0] * size[1];
  const images = bytes.length / (3 * area);
  const [batch] = input.shape;
  const found = new ARRAYS[input.dtype](batch * 3 * area);
  for (let channel = 0; channel < 3; channel++) {
    const values = table(input, mean[channel], std[channel]);
    for (let n = 0; n < batch; n++) {
      const from = (n % images) * 3 * area;
      const to = n * 3 * area;
      for (let i = 0; i < area; i++) {
        const at = input.layout === "nchw" ? channel * area + i : i * 3 + channel;
        found[to + at] = values[bytes[from + i * 3 + channel]];
      }
    }
  }
  return found;
}

/** Returns an output's values as floats. */
export function floats(values, { quantization }) {
  if (!quantization) return values;
  const scale = Math.fround(quantization.scale);
  return Float32Array.from(values, (integer) => (integer - quantization.zero_point) * scale);
}
