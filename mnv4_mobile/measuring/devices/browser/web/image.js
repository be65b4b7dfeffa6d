// Turns images into RGB bytes.

/** Draws something and returns its pixels, {width, height, data}, with three bytes each. */
export function rgb(source, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0);
  const { data: rgba } = context.getImageData(0, 0, width, height);
  const data = new Uint8Array(width * height * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4, to += 3) {
    data[to] = rgba[from];
    data[to + 1] = rgba[from + 1];
    data[to + 2] = rgba[from + 2];
  }
  return { width, height, data };
}

/** Returns a file's image, rotated as EXIF says; its colour profile is not applied. */
export async function decode(file) {
  const options = { imageOrientation: "from-image", colorSpaceConversion: "none", premultiplyAlpha: "none" };
  const bitmap = await createImageBitmap(file, options).catch(() => {
    throw new Error(`${file.name}: this browser cannot read it as an image`);
  });
  try {
    return rgb(bitmap, bitmap.width, bitmap.height);
  } finally {
    bitmap.close();
  }
}
