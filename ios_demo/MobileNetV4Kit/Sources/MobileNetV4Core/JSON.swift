import Foundation

/// An error in a JSON text: the place, what was found, and what is allowed.
struct JSONError: Error {
    let message: String
}

/// A value in a JSON text, with its place for messages, as in `outputs[0].shape`.
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
    let place: String

    /// Reads a JSON text strictly: without duplicate keys, comments, or text after the end.
    init(_ text: Data) throws {
        var parser = JSONParser(bytes: Array(text))
        self.init(value: try parser.document(), place: "")
    }

    init(value: Value, place: String) {
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
            found[entry.key] = JSON(value: entry.value, place: "\(place).\(entry.key)")
        }
    }

    func list(_ count: ClosedRange<Int> = 0...Int.max) throws -> [JSON] {
        guard case .list(let values) = value else { throw wrong("a list") }
        guard count.contains(values.count) else {
            let one = count.lowerBound == count.upperBound
            throw JSONError(
                message: "\(place): found \(values.count) entries, must be \(count.lowerBound)"
                    + (one ? "" : " or more"))
        }
        return values.enumerated().map { JSON(value: $1, place: "\(place)[\($0)]") }
    }

    func text() throws -> String {
        guard case .string(let text) = value else { throw wrong("a string") }
        return text
    }

    /// Returns a string that matches a pattern as a whole.
    func text(_ pattern: Regex<Substring>, _ what: String) throws -> String {
        let found = try text()
        guard try pattern.matchingSemantics(.unicodeScalar).wholeMatch(in: found) != nil else {
            throw wrong(what)
        }
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
        case .string(let text): found = "'\(text)'"
        case .number(let text): found = text
        case .bool(let flag): found = "\(flag)"
        case .null: found = "null"
        }
        let place = self.place.isEmpty ? "the text" : self.place
        return JSONError(message: "\(place): found \(found), must be \(allowed)")
    }
}

/// The keys of an object, each of which must be read.
final class JSONEntries {
    private let values: [String: JSON.Value]
    private let place: String
    private var taken: [String] = []

    fileprivate init(_ values: [String: JSON.Value], _ place: String) {
        self.values = values
        self.place = place
    }

    /// The value of a required key.
    subscript(key: String) -> JSON {
        get throws {
            guard let found = optional(key) else {
                throw JSONError(message: "\(at(key)): missing")
            }
            return found
        }
    }

    /// Returns the value of a key, or nil if it is absent.
    func optional(_ key: String) -> JSON? {
        taken.append(key)
        return values[key].map { JSON(value: $0, place: at(key)) }
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
        JSONError(message: "\(at(key)): \(message)")
    }

    fileprivate func refuseOthers() throws {
        if let other = values.keys.filter({ !taken.contains($0) }).min() {
            throw wrong(other, "unknown key, allowed: \(taken.joined(separator: ", "))")
        }
    }

    private func at(_ key: String) -> String { place.isEmpty ? key : "\(place).\(key)" }
}

/// Reads the values of a text. `JSONDecoder` accepts 2.0 as an integer, and duplicate keys.
private struct JSONParser {
    private static let mostDeep = 64

    let bytes: [UInt8]
    private var at = 0

    init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func document() throws -> JSON.Value {
        let found = try value("", 0)
        guard next() == nil else { throw wrong }
        return found
    }

    private var wrong: JSONError { JSONError(message: "not JSON: at byte \(at)") }

    private mutating func value(_ place: String, _ depth: Int) throws -> JSON.Value {
        guard depth <= Self.mostDeep else {
            throw JSONError(message: "not JSON: nested too deeply")
        }
        switch next() {
        case UInt8(ascii: "{"): return .object(try object(place, depth))
        case UInt8(ascii: "["): return .list(try list(place, depth))
        case UInt8(ascii: "\""): return .string(try string())
        default: return try literal()
        }
    }

    private mutating func object(_ place: String, _ depth: Int) throws -> [String: JSON.Value] {
        var found: [String: JSON.Value] = [:]
        try separated(until: UInt8(ascii: "}")) { parser in
            guard parser.next() == UInt8(ascii: "\"") else { throw parser.wrong }
            let key = try parser.string()
            let here = place.isEmpty ? key : "\(place).\(key)"
            guard found[key] == nil else { throw JSONError(message: "\(here): occurs twice") }
            guard parser.next() == UInt8(ascii: ":") else { throw parser.wrong }
            parser.at += 1
            found[key] = try parser.value(here, depth + 1)
        }
        return found
    }

    private mutating func list(_ place: String, _ depth: Int) throws -> [JSON.Value] {
        var found: [JSON.Value] = []
        try separated(until: UInt8(ascii: "]")) { parser in
            found.append(try parser.value("\(place)[\(found.count)]", depth + 1))
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
        var found: [UInt8] = []
        at += 1
        while at < bytes.count {
            let byte = bytes[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let text = String(bytes: found, encoding: .utf8) else { throw wrong }
                return text
            case UInt8(ascii: "\\"): found += try escape()
            case 0..<0x20: throw wrong
            default: found.append(byte)
            }
        }
        throw wrong
    }

    private mutating func escape() throws -> [UInt8] {
        guard at < bytes.count else { throw wrong }
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
                guard bytes[at...].starts(with: "\\u".utf8) else { throw wrong }
                at += 2
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
        let digits = bytes[at..<min(at + 4, bytes.count)]
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw wrong }
        at += 4
        return code
    }

    private mutating func literal() throws -> JSON.Value {
        let end = bytes[at...].firstIndex { " \n\r\t,]}".utf8.contains($0) } ?? bytes.count
        let text = String(decoding: bytes[at..<end], as: UTF8.self)
        switch text {
        case "true": at = end; return .bool(true)
        case "false": at = end; return .bool(false)
        case "null": at = end; return .null
        default:
            let number = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+\-]?[0-9]+)?/
            guard try number.wholeMatch(in: text) != nil else { throw wrong }
            at = end
            return .number(text)
        }
    }

    /// Returns the next byte that is not white space.
    private mutating func next() -> UInt8? {
        while at < bytes.count, " \n\r\t".utf8.contains(bytes[at]) { at += 1 }
        return at < bytes.count ? bytes[at] : nil
    }
}
