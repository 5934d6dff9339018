"""Short programs that call an exported model from its own folder: in Python, in Node, in C++.

Those in Node and C++ are for models that translate whole pictures: what fills holes or draws has one in Python alone.
"""

from __future__ import annotations

from i2i.folder import Info, Sampler
from i2i.latents import LABELS, TRUNCATION, Z


def python(info: Info) -> str:
    """Needs onnxruntime, NumPy and Pillow."""
    product = info.products[info.default]
    gray_in, gray_out = (channels == 1 for channels in product.channels)
    mode = "L" if gray_in else "RGB"
    start = f"""\
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{product.file}", providers=["CPUExecutionProvider"])
picture = Image.open("picture.jpg").convert("{mode}")
"""
    if _pixels(info):
        return (
            start
            + f"""\
x = np.asarray(picture){"[None, ..., None]" if gray_in else "[None]"}
y = session.run(None, {{"pixels": x}})[0][0]
Image.fromarray(y{"[..., 0]" if gray_out else ""}).save("translated.png")
"""
        )
    into = "[None, None]" if gray_in else ".transpose(2, 0, 1)[None]"
    back = "y[0]" if gray_out else "y.transpose(1, 2, 0)"
    k = product.multiple
    fit = f"[max({k}, round(side / {k}) * {k}) for side in picture.size]"
    fitted = f"picture = picture.resize({fit})  # sides are multiples of {k}\n" if k > 1 else ""
    mask = """\
mask = Image.open("mask.png").convert("L").resize(picture.size)  # white: to be filled
hole = np.asarray(mask)[None] >= 128
x = np.concatenate([x, hole[None]], 1, dtype=np.float32)
"""
    kept = "y = np.where(hole, y, x[0, :-1])  # what is known stays\n"
    picture = f"(({back} + 1) * 127.5).round().clip(0, 255).astype(np.uint8)"
    return (
        start
        + f"""\
{fitted}x = np.asarray(picture, np.float32){into} / 127.5 - 1
{mask if product.masked else ""}y = session.run(None, {{"input": x}})[0][0]
{kept if product.masked else ""}Image.fromarray({picture}).save("translated.png")
"""
    )


def drawing(sampler: Sampler) -> str:
    """For a model that draws pictures; needs onnxruntime, NumPy and Pillow."""
    latent = sampler.latent
    noise = f"standard_normal({latent.noise})" if latent.prior == "normal" else f"uniform(-1, 1, {latent.noise})"
    parts = [f"own.{noise}", *(f"np.eye({n})[own.integers({n})]" for n in latent.choices)]
    parts += [f"own.uniform(-1, 1, {latent.codes})"] * (latent.codes > 0)
    one = parts[0] if len(parts) == 1 else f"np.concatenate([{', '.join(parts)}])"
    given = f'"{Z}": z'
    labels = ""
    if sampler.classes:
        labels = f"labels = np.arange(16) % {sampler.classes}\n"
        given += f', "{LABELS}": labels'
    if sampler.styles:
        labels = f"z = np.repeat(z[:, None], {sampler.styles}, axis=1)  # each layer can have one of its own\n"
        given += f', "{TRUNCATION}": np.ones(16, np.float32)'
    picture = "y[0]" if sampler.channels == 1 else "y.transpose(1, 2, 0)"
    return f"""\
import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("{sampler.file}", providers=["CPUExecutionProvider"])
random = [np.random.default_rng((0, number)) for number in range(16)]  # seed 0
z = np.stack([{one} for own in random]).astype(np.float32)
{labels}for number, y in enumerate(session.run(None, {{{given}}})[0]):
    Image.fromarray((({picture} + 1) * 127.5).round().clip(0, 255).astype(np.uint8)).save(f"{{number:05}}.png")
"""


def node(info: Info) -> str:
    """Needs the packages onnxruntime-node and sharp."""
    product = info.products[info.default]
    channels = product.channels[0]
    space, space_out = ("b-w" if c == 1 else "srgb" for c in product.channels)
    write = f'.toColourspace("{space_out}").toFile("translated.png")'
    start = f"""\
import ort from "onnxruntime-node";
import sharp from "sharp";

const session = await ort.InferenceSession.create("{product.file}");
"""
    picture = f'sharp("picture.jpg").flatten({{ background: "white" }}).toColourspace("{space}")'
    read = "const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });"
    if _pixels(info):
        return (
            start
            + f"""\
const picture = {picture};
{read}
const x = new ort.Tensor("uint8", data, [1, info.height, info.width, {channels}]);
const {{ translated }} = await session.run({{ pixels: x }});
const [, height, width, channels] = translated.dims;
await sharp(translated.data, {{ raw: {{ width, height, channels }} }}){write};
"""
        )
    k = product.multiple
    fitted = f"""\
const fit = (side) => Math.max({k}, Math.round(side / {k}) * {k}); // sides are multiples of {k}
const size = await sharp("picture.jpg").metadata();
const picture = {picture}
  .resize(fit(size.width), fit(size.height), {{ fit: "fill" }});
"""
    return (
        start
        + (fitted if k > 1 else f"const picture = {picture};\n")
        + f"""\
{read}
const area = info.height * info.width;
const x = Float32Array.from(data, (_, i) => data[(i % area) * {channels} + Math.floor(i / area)] / 127.5 - 1);
const shape = [1, {channels}, info.height, info.width];
const {{ output }} = await session.run({{ input: new ort.Tensor("float32", x, shape) }});
const [, channels, height, width] = output.dims;
const value = (i) => output.data[(i % channels) * height * width + Math.floor(i / channels)];
const y = Uint8ClampedArray.from(output.data, (_, i) => (value(i) + 1) * 127.5);
await sharp(y, {{ raw: {{ width, height, channels }} }}){write};
"""
    )


def cpp(info: Info) -> str:
    """Needs onnxruntime's headers and library; reads and writes PPM, or PGM for gray."""
    product = info.products[info.default]
    channels, channels_out = product.channels
    reads, writes = ("P5" if c == 1 else "P6" for c in product.channels)
    suffix, suffix_out = ("pgm" if c == 1 else "ppm" for c in product.channels)
    k = product.multiple
    headers = ["fstream", "string", "vector"]
    if not _pixels(info):
        headers = ["algorithm", "cmath", *headers, "iostream"]
    includes = "\n".join(f"#include <{name}>" for name in sorted(headers))
    start = f"""\
#include <onnxruntime_cxx_api.h>

{includes}

int main() {{
  std::ifstream file("picture.{suffix}", std::ios::binary);
  std::string kind;
  int64_t width = 0, height = 0, range = 0;
  file >> kind >> width >> height >> range;
  file.get();
  std::vector<uint8_t> pixels(width * height * {channels});
  if (kind != "{reads}" || !file.read(reinterpret_cast<char*>(pixels.data()), pixels.size())) return 1;

  Ort::Env env;
  Ort::Session session(env, ORT_TSTR("{product.file}"), Ort::SessionOptions{{}});
  auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
"""
    if _pixels(info):
        call = f"""\
  const std::vector<int64_t> shape{{1, height, width, {channels}}};
  auto x = Ort::Value::CreateTensor<uint8_t>(memory, pixels.data(), pixels.size(), shape.data(), shape.size());
  const char *input = "pixels", *output = "translated";
  auto y = session.Run(Ort::RunOptions{{}}, &input, &x, 1, &output, 1);
  const auto size = y[0].GetTensorTypeAndShapeInfo().GetShape();
  const auto* translated = reinterpret_cast<const char*>(y[0].GetTensorData<uint8_t>());

  std::ofstream out("translated.{suffix_out}", std::ios::binary);
  out << "{writes}\\n" << size[2] << " " << size[1] << "\\n255\\n";
  out.write(translated, size[1] * size[2] * {channels_out});
"""
    else:
        fits = f"""\
  if (width % {k} || height % {k}) return std::cerr << "sides must be multiples of {k}\\n", 1;
"""
        call = (
            (fits if k > 1 else "")
            + f"""\
  const int64_t area = width * height;
  std::vector<float> values(pixels.size());
  for (int64_t i = 0; i < area * {channels}; ++i) values[i] = pixels[i % area * {channels} + i / area] / 127.5f - 1;
  const std::vector<int64_t> shape{{1, {channels}, height, width}};
  auto x = Ort::Value::CreateTensor<float>(memory, values.data(), values.size(), shape.data(), shape.size());
  const char *input = "input", *output = "output";
  auto y = session.Run(Ort::RunOptions{{}}, &input, &x, 1, &output, 1);
  const auto size = y[0].GetTensorTypeAndShapeInfo().GetShape();
  const float* translated = y[0].GetTensorData<float>();

  std::ofstream out("translated.{suffix_out}", std::ios::binary);
  out << "{writes}\\n" << size[3] << " " << size[2] << "\\n255\\n";
  const int64_t area_out = size[2] * size[3];
  for (int64_t i = 0; i < area_out * {channels_out}; ++i) {{
    const float level = (translated[i % {channels_out} * area_out + i / {channels_out}] + 1) * 127.5f;
    out.put(static_cast<char>(std::lrint(std::clamp(level, 0.0f, 255.0f))));
  }}
"""
        )
    return f"{start}{call}}}\n"


def _pixels(info: Info) -> bool:
    return info.export is not None and info.export.pixels
