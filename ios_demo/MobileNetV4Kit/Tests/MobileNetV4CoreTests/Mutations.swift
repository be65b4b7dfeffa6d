import Foundation

@testable import MobileNetV4Core

/// Random numbers that a seed repeats (SplitMix64).
struct Seeded {
    private var state: UInt64

    init(_ seed: Int) {
        state = UInt64(bitPattern: Int64(seed)) &* 0x9e37_79b9_7f4a_7c15
    }

    mutating func below(_ count: Int) -> Int {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z &>> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z &>> 27) &* 0x94d0_49bb_1331_11eb
        return Int(truncatingIfNeeded: (z ^ z &>> 31) % UInt64(count))
    }

    mutating func one<T>(of values: [T]) -> T { values[below(values.count)] }
}

/// A tree of JSON values in which a key may occur twice, and a value may be no JSON.
enum Tree {
    case object([(key: String, value: Tree)])
    case list([Tree])
    /// A value as it stands in the text.
    case raw(String)

    /// Reads a tree from valid JSON; keys are sorted, so that a seed repeats its changes.
    init(_ json: Data) throws {
        self.init(try JSON(json).value)
    }

    private init(_ value: JSON.Value) {
        switch value {
        case .object(let values):
            self = .object(values.sorted { $0.key < $1.key }.map { ($0.key, Tree($0.value)) })
        case .list(let values): self = .list(values.map(Tree.init))
        case .string(let text): self = .text(text)
        case .number(let text): self = .raw(text)
        case .bool(let flag): self = .raw("\(flag)")
        case .null: self = .raw("null")
        }
    }

    static func text(_ text: String) -> Tree { .raw(Self.quoted(text)) }

    static func numbers(_ values: [Int]) -> Tree { .list(values.map { .raw("\($0)") }) }

    private static func quoted(_ text: String) -> String {
        var found = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": found += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                found += "\\u" + String(format: "%04x", scalar.value)
            default: found.unicodeScalars.append(scalar)
            }
        }
        return found + "\""
    }

    var json: Data {
        var text = ""
        write(&text)
        return Data(text.utf8)
    }

    private func write(_ text: inout String) {
        switch self {
        case .raw(let raw): text += raw
        case .list(let items):
            text += "["
            for (i, item) in items.enumerated() {
                if i > 0 { text += "," }
                item.write(&text)
            }
            text += "]"
        case .object(let entries):
            text += "{"
            for (i, entry) in entries.enumerated() {
                if i > 0 { text += "," }
                text += Self.quoted(entry.key) + ":"
                entry.value.write(&text)
            }
            text += "}"
        }
    }

    /// The value of a key; setting one adds the key if there is none.
    subscript(key: String) -> Tree? {
        get {
            guard case .object(let entries) = self else { return nil }
            return entries.first { $0.key == key }?.value
        }
        set {
            guard case .object(var entries) = self, let newValue else { return }
            entries.removeAll { $0.key == key }
            entries.append((key, newValue))
            self = .object(entries)
        }
    }

    /// Returns the tree with a change at a random place.
    func changed(_ random: inout Seeded) -> Tree {
        switch self {
        case .object(var entries) where !entries.isEmpty && random.below(16) > 0:
            let at = random.below(entries.count)
            switch random.below(16) {
            case 0: entries.remove(at: at)
            case 1: entries.insert(entries[random.below(entries.count)], at: at)
            case 2: entries[at].key = random.one(of: Hostile.texts)
            case 3: entries.append((random.one(of: Hostile.texts), Hostile.value(&random)))
            default: entries[at].value = entries[at].value.changed(&random)
            }
            return .object(entries)
        case .list(var items) where !items.isEmpty && random.below(16) > 0:
            let at = random.below(items.count)
            switch random.below(16) {
            case 0: items.remove(at: at)
            case 1: items.insert(items[random.below(items.count)], at: at)
            case 2: items += Array(repeating: items[at], count: random.one(of: [1, 9, 100, 2000]))
            case 3: items.append(Hostile.value(&random))
            case 4: items = []
            default: items[at] = items[at].changed(&random)
            }
            return .list(items)
        case .raw(let raw) where random.below(4) > 0:
            // A value of the same type, which gets further.
            return raw.hasPrefix("\"")
                ? .text(random.one(of: Hostile.texts)) : .raw(random.one(of: Hostile.numbers))
        default: return Hostile.value(&random)
        }
    }
}

/// Values that a record should not have.
enum Hostile {
    static let numbers =
        words(
            """
            0 -1 1 2 3 7 127 128 255 256 2.0 0.5 0.01 -0 16384 16385 65536 2147483647 2147483648
            4000000000 4294967296 9007199254740991 9007199254740993 9223372036854775807
            9223372036854775808 1e308 -1e308 1e999 1e-300 5e-324 3.4028234663852886e38 3.5e38
            1.1754943508222875e-38 1e-45 NaN Infinity -Infinity nan 01 +1 0x10 .5 1. 1e
            """) + [String(repeating: "9", count: 400)]
    static let texts =
        words(
            """
            . .. ../x a/../b /etc/passwd a//b a/ -x é image logits probabilities embedding stage_1
            stage_ stage_99999999999999999999 pixels nchw nhwc int8 uint8 float16 float32 int64 input
            eager artifact nearest lanczos cpu npu schema shape labels quantization calibration
            coreml.min_ios coreml.compute_unit 17 99999999999999999999 nominal
            """) + ["", "\0", "a\nb", "\u{2028}", "\u{1f600}", "e\u{301}"]
        + [String(repeating: "0", count: 64), String(repeating: "a", count: 20_000)]
    private static let others =
        words(
            #"null true false [] {} [[]] {"":{}} [null] "\ud800" "\udc00x" "\u0000" "\x" 'x' tru { ]"#
        )
        + ["", String(repeating: "[", count: 5000)]
        + [String(repeating: "{\"a\":", count: 70) + "1" + String(repeating: "}", count: 70)]

    private static func words(_ text: String) -> [String] {
        text.split(whereSeparator: \.isWhitespace).map(String.init)
    }

    static func value(_ random: inout Seeded) -> Tree {
        switch random.below(3) {
        case 0: return .raw(random.one(of: numbers))
        case 1: return .text(random.one(of: texts))
        default: return .raw(random.one(of: others))
        }
    }

    /// Returns damaged bytes.
    static func damaged(_ data: Data, _ random: inout Seeded) -> Data {
        var found = [UInt8](data)
        for _ in 0...random.below(3) where !found.isEmpty {
            let at = random.below(found.count)
            switch random.below(6) {
            case 0: found[at] ^= 1 << UInt8(random.below(8))
            case 1: found[at] = random.one(of: [0, 0x22, 0x2c, 0x30, 0x5c, 0x7b, 0x7f, 0x80, 0xff])
            case 2: found.removeSubrange(at...)
            case 3: found.removeSubrange(at..<min(at + 1 + random.below(64), found.count))
            case 4: found.insert(UInt8(random.below(256)), at: at)
            default:
                let from = random.below(found.count)
                let part = Array(found[from..<min(from + 1 + random.below(64), found.count)])
                found.insert(contentsOf: part, at: at)
            }
        }
        return Data(found)
    }
}

/// Changes of several values of a manifest that agree with each other, so that it may be accepted.
enum Agreeing {
    /// The sides of the small input that most changed manifests have, to be quick.
    static let small = [6, 8]

    /// Sets the size of the input.
    static func resize(_ manifest: inout Tree, _ size: [Int], batch: Int = 1, planar: Bool) {
        manifest["preprocess"]?["size"] = .numbers(size)
        let shape = [batch] + (planar ? [3] + size : size + [3])
        changeList(&manifest, "inputs") { input in
            input["shape"] = .numbers(shape)
            input["layout"] = .text(planar ? "nchw" : "nhwc")
        }
        changeList(&manifest, "golden") { golden in
            if case .raw("\"pixels\"")? = golden["tensor"] {
                golden["shape"] = .numbers([2 * batch] + size + [3])
            }
        }
    }

    static func change(_ manifest: inout Tree, _ random: inout Seeded) {
        switch random.below(4) {
        case 0:
            let size = [random.one(of: [1, 2, 5, 16384]), random.one(of: [1, 3, 7])]
            let batch = random.one(of: [1, 1, 2])
            resize(&manifest, size, batch: batch, planar: random.below(2) == 0)
        case 1:
            let floats = ["0", "-3.4028234663852886e38", "3.4e38", "1e-38", "0.5", "1e20"]
            for key in ["mean", "std"] {
                manifest["preprocess"]?[key] = .list(
                    (0..<3).map { _ in .raw(random.one(of: floats)) })
            }
            quantize(&manifest, &random)
        case 2:
            quantize(&manifest, &random)
        default:
            let kind = random.one(of: ["logits", "embedding", "probabilities", "stage_3"])
            let sides = random.one(of: [
                [4], [], [1000], [2, 1, 1], Array(repeating: 1, count: 999),
            ])
            changeList(&manifest, "outputs") { output in
                output["kind"] = .text(kind)
                output["shape"] = .numbers([1] + sides)
                output["layout"] = sides.count == 3 ? .text("nchw") : .raw("null")
            }
            changeList(&manifest, "golden") { golden in
                if case .raw("\"pixels\"")? = golden["tensor"] { return }
                golden["shape"] = .numbers([2] + sides)
            }
            manifest["labels"] = .raw("null")
        }
    }

    private static func quantize(_ manifest: inout Tree, _ random: inout Seeded) {
        let scale = random.one(of: ["0.02", "1.2e-38", "3.4e38", "1e-20"])
        let zero = random.one(of: [-128, 0, 127, 255])
        let dtype = random.one(of: ["int8", "uint8", "float16"])
        changeList(&manifest, random.one(of: ["inputs", "outputs"])) { tensor in
            tensor["dtype"] = .text(dtype)
            if dtype == "float16" { return }
            tensor["quantization"] = .object([
                ("scale", .raw(scale)), ("zero_point", .raw("\(zero)")),
            ])
        }
    }

    private static func changeList(
        _ tree: inout Tree, _ key: String, _ change: (inout Tree) -> Void
    ) {
        guard case .list(var items)? = tree[key] else { return }
        for i in items.indices { change(&items[i]) }
        tree[key] = .list(items)
    }
}
