import Foundation

/// An error in a JSON text: the place, what was found, and what is allowed.
struct JSONError: Error {
    let message: String
}

/// Where a value is in a JSON text. It becomes text, as in `outputs[0].shape`, for messages only.
indirect enum JSONPlace {
    case root
    case key(JSONPlace, String)
    case index(JSONPlace, Int)

    private var text: String {
        switch self {
        case .root: return ""
        case .key(.root, let key): return JSON.shown(key)
        case .key(let parent, let key): return "\(parent.text).\(JSON.shown(key))"
        case .index(let parent, let index): return "\(parent.text)[\(index)]"
        }
    }

    /// Returns the error for the value at this place.
    func wrong(_ message: String) -> JSONError {
        if case .root = self { return JSONError(message: "the text: \(message)") }
        return JSONError(message: "\(text): \(message)")
    }
}

/// A value in a JSON text, with its place for messages.
struct JSON {
    /// A value. Numbers stay as they are written, because a record distinguishes 2 from 2.0.
    enum Value {
        case object([String: Value])
        case list([Value])
        case string(String)
        case number(String)
        case bool(Bool)
        case null
    }

    /// The largest integer that every language can hold: JavaScript's numbers have 53 bits.
    static let mostExact = (1 << 53) - 1
    /// The largest integer of 32 bits.
    static let mostInt32 = Int(Int32.max)

    private static let most = Double.greatestFiniteMagnitude
    private static let finite = -most...most
    static let notNegative = 0...most

    let value: Value
    let place: JSONPlace

    /// Reads a JSON text strictly: without duplicate keys, comments, or text after the end.
    init(_ text: Data) throws {
        let value = try text.withUnsafeBytes { bytes in
            guard var parser = JSONParser(bytes.bindMemory(to: UInt8.self)) else {
                throw JSONError(message: "not JSON: it is empty")
            }
            return try parser.document()
        }
        self.init(value: value, place: .root)
    }

    init(value: Value, place: JSONPlace) {
        self.value = value
        self.place = place
    }

    /// Reads an object; `read` has to read each of its keys.
    func record<T>(_ read: (JSONEntries) throws -> T) throws -> T {
        guard case .object(let values) = value else { throw wrong("an object") }
        let entries = JSONEntries(values, place)
        let found = try read(entries)
        try entries.refuseOthers()
        return found
    }

    /// Returns an object whose keys are data.
    func map() throws -> [String: JSON] {
        guard case .object(let values) = value else { throw wrong("an object") }
        return values.reduce(into: [:]) { found, entry in
            found[entry.key] = JSON(value: entry.value, place: .key(place, entry.key))
        }
    }

    func list(_ count: ClosedRange<Int> = 0...Int.max) throws -> [JSON] {
        guard case .list(let values) = value else { throw wrong("a list") }
        guard count.contains(values.count) else {
            let one = count.lowerBound == count.upperBound
            throw place.wrong(
                "found \(values.count) entries, must be \(count.lowerBound)"
                    + (one ? "" : " or more"))
        }
        return values.enumerated().map { JSON(value: $1, place: .index(place, $0)) }
    }

    func text() throws -> String {
        guard case .string(let text) = value else { throw wrong("a string") }
        return text
    }

    /// Returns a string whose bytes, one or more, pass a check. Regular expressions take 100 times
    /// longer.
    func text(_ allowed: String, _ check: ([UInt8]) -> Bool) throws -> String {
        let found = try text()
        guard !found.isEmpty, check(Array(found.utf8)) else { throw wrong(allowed) }
        return found
    }

    func oneOf<T: RawRepresentable & CaseIterable>(_ type: T.Type) throws -> T
    where T.RawValue == String {
        if case .string(let text) = value, let found = T(rawValue: text) { return found }
        throw wrong("one of " + T.allCases.map(\.rawValue).joined(separator: ", "))
    }

    func flag() throws -> Bool {
        guard case .bool(let found) = value else { throw wrong("true or false") }
        return found
    }

    func integer(_ range: ClosedRange<Int> = 1...JSON.mostInt32) throws -> Int {
        if case .number(let text) = value, let found = Int(text), range.contains(found) {
            return found
        }
        throw wrong("an integer from \(range.lowerBound) to \(range.upperBound)")
    }

    /// Returns a number, which is always finite.
    func number(_ range: ClosedRange<Double> = finite) throws -> Double {
        if case .number(let text) = value, let found = Double(text), range.contains(found) {
            return found
        }
        let open = range.upperBound == Self.most
        throw wrong(
            open
                ? "a number, \(range.lowerBound) or more"
                : "a number from \(range.lowerBound) to \(range.upperBound)")
    }

    func orNil<T>(_ read: (JSON) throws -> T) throws -> T? {
        if case .null = value { return nil }
        return try read(self)
    }

    func wrong(_ allowed: String) -> JSONError {
        let found: String
        switch value {
        case .object: found = "an object"
        case .list: found = "a list"
        case .string(let text): found = "'\(Self.shown(text))'"
        case .number(let text): found = Self.shown(text)
        case .bool(let flag): found = "\(flag)"
        case .null: found = "null"
        }
        return place.wrong("found \(found), must be \(allowed)")
    }

    /// Returns a text as messages show it: shortened if it is long.
    static func shown(_ text: String) -> String {
        text.utf8.count <= 200 ? text : text.prefix(57) + "..."
    }
}

extension UInt8 {
    var isDigit: Bool { self >= UInt8(ascii: "0") && self <= UInt8(ascii: "9") }
    var isLowercase: Bool { self >= UInt8(ascii: "a") && self <= UInt8(ascii: "z") }
    var isHexadecimal: Bool {
        isDigit || self >= UInt8(ascii: "a") && self <= UInt8(ascii: "f")
    }
    var isLetterOrDigit: Bool {
        let lower = self | 0x20
        return isDigit || lower >= UInt8(ascii: "a") && lower <= UInt8(ascii: "z")
    }
}

extension Collection<UInt8> {
    /// Whether it has one ASCII letter, digit or other of these characters, or more.
    func isName(with others: String) -> Bool {
        !isEmpty && allSatisfy { $0.isLetterOrDigit || others.utf8.contains($0) }
    }

    /// Splits a text at every separator; parts may be empty.
    func parts(_ separator: Unicode.Scalar) -> [SubSequence] {
        split(separator: UInt8(ascii: separator), omittingEmptySubsequences: false)
    }
}

/// The keys of an object, each of which must be read.
final class JSONEntries {
    private let values: [String: JSON.Value]
    private let place: JSONPlace
    private var taken: [String] = []

    fileprivate init(_ values: [String: JSON.Value], _ place: JSONPlace) {
        self.values = values
        self.place = place
    }

    /// The value of a required key.
    subscript(key: String) -> JSON {
        get throws {
            guard let found = optional(key) else { throw wrong(key, "missing") }
            return found
        }
    }

    /// Returns the value of a key, or nil if it is absent.
    func optional(_ key: String) -> JSON? {
        taken.append(key)
        return values[key].map { JSON(value: $0, place: .key(place, key)) }
    }

    /// Refuses a record of a newer version.
    func schema(_ newest: Int) throws {
        let found = try self["schema"].integer()
        guard found <= newest else {
            throw wrong(
                "schema",
                "written by a newer version (schema \(found), this one reads \(newest)); update "
                    + "the MobileNetV4Kit package")
        }
    }

    func wrong(_ key: String, _ message: String) -> JSONError {
        JSONPlace.key(place, key).wrong(message)
    }

    fileprivate func refuseOthers() throws {
        if let other = values.keys.filter({ !taken.contains($0) }).min() {
            throw wrong(other, "unknown key, allowed: \(taken.joined(separator: ", "))")
        }
    }
}

/// Reads the values of a text. `JSONDecoder` accepts 2.0 as an integer, and duplicate keys.
///
/// It reads bytes through a pointer, because arrays are slow in a Debug build.
private struct JSONParser {
    private static let mostDeep = 64

    private let bytes: UnsafePointer<UInt8>
    private let count: Int
    private var at = 0

    init?(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let start = bytes.baseAddress else { return nil }
        self.bytes = start
        count = bytes.count
    }

    mutating func document() throws -> JSON.Value {
        let found = try value(.root, 0)
        guard next() == nil else { throw wrong }
        return found
    }

    private var wrong: JSONError { JSONError(message: "not JSON: at byte \(at)") }

    private mutating func value(_ place: JSONPlace, _ depth: Int) throws -> JSON.Value {
        guard depth <= Self.mostDeep else {
            throw JSONError(message: "not JSON: nested too deeply")
        }
        switch next() {
        case UInt8(ascii: "{"): return .object(try object(place, depth))
        case UInt8(ascii: "["): return .list(try list(place, depth))
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return .number(try number())
        }
    }

    private mutating func object(
        _ place: JSONPlace, _ depth: Int
    ) throws -> [String: JSON.Value] {
        var found: [String: JSON.Value] = [:]
        try separated(until: UInt8(ascii: "}")) { parser in
            guard parser.next() == UInt8(ascii: "\"") else { throw parser.wrong }
            let key = try parser.string()
            let here = JSONPlace.key(place, key)
            guard found[key] == nil else { throw here.wrong("occurs twice") }
            guard parser.next() == UInt8(ascii: ":") else { throw parser.wrong }
            parser.at += 1
            found[key] = try parser.value(here, depth + 1)
        }
        return found
    }

    private mutating func list(_ place: JSONPlace, _ depth: Int) throws -> [JSON.Value] {
        var found: [JSON.Value] = []
        try separated(until: UInt8(ascii: "]")) { parser in
            found.append(try parser.value(.index(place, found.count), depth + 1))
        }
        return found
    }

    /// Reads entries with commas between them.
    private mutating func separated(
        until end: UInt8, _ entry: (inout JSONParser) throws -> Void
    ) throws {
        at += 1
        if next() != end {
            try entry(&self)
            while next() == UInt8(ascii: ",") {
                at += 1
                try entry(&self)
            }
        }
        guard next() == end else { throw wrong }
        at += 1
    }

    private mutating func string() throws -> String {
        at += 1
        var start = at
        var found: [UInt8] = []
        while at < count {
            let byte = bytes[at]
            if byte == UInt8(ascii: "\"") {
                let last = UnsafeBufferPointer(start: bytes + start, count: at - start)
                at += 1
                // The usual string has no escapes; it is decoded where it is.
                let text =
                    found.isEmpty
                    ? String(bytes: last, encoding: .utf8)
                    : String(bytes: found + last, encoding: .utf8)
                guard let text else { throw wrong }
                return text
            }
            guard byte >= 0x20 else { throw wrong }
            if byte == UInt8(ascii: "\\") {
                found += UnsafeBufferPointer(start: bytes + start, count: at - start)
                at += 1
                found += try escape()
                start = at
            } else {
                at &+= 1
            }
        }
        throw wrong
    }

    private mutating func escape() throws -> [UInt8] {
        guard at < count else { throw wrong }
        at += 1
        switch bytes[at - 1] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [bytes[at - 1]]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xd800..<0xdc00).contains(code) {
                // The first half of a surrogate pair.
                guard skip("\\"), skip("u") else { throw wrong }
                let low = try hexadecimal()
                guard (0xdc00..<0xe000).contains(low) else { throw wrong }
                code = 0x10000 + (code - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw wrong }
            return Array(String(scalar).utf8)
        default: throw wrong
        }
    }

    private mutating func hexadecimal() throws -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard at < count,
                let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue
            else { throw wrong }
            code = code << 4 | UInt32(digit)
            at += 1
        }
        return code
    }

    private mutating func word(_ text: StaticString, _ value: JSON.Value) throws -> JSON.Value {
        for i in 0..<text.utf8CodeUnitCount {
            guard at < count, bytes[at] == text.utf8Start[i] else { throw wrong }
            at += 1
        }
        return value
    }

    /// Returns a number as it is written.
    private mutating func number() throws -> String {
        let start = at
        _ = skip("-")
        let first = at
        try digits()
        guard bytes[first] != UInt8(ascii: "0") || at == first + 1 else { throw wrong }
        if skip(".") { try digits() }
        if skip("e") || skip("E") {
            _ = skip("+") || skip("-")
            try digits()
        }
        return String(
            decoding: UnsafeBufferPointer(start: bytes + start, count: at - start), as: UTF8.self)
    }

    /// Skips one digit or more.
    private mutating func digits() throws {
        let first = at
        while at < count && bytes[at] >= UInt8(ascii: "0") && bytes[at] <= UInt8(ascii: "9") {
            at &+= 1
        }
        guard at > first else { throw wrong }
    }

    /// Skips a character if it is the next one.
    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard at < count && bytes[at] == UInt8(ascii: character) else { return false }
        at += 1
        return true
    }

    /// Returns the next byte that is not white space.
    private mutating func next() -> UInt8? {
        while at < count {
            let byte = bytes[at]
            if byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09 { return byte }
            at &+= 1
        }
        return nil
    }
}
