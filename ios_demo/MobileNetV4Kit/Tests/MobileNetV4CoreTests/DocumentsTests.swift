import Foundation
import Testing

@testable import MobileNetV4Core

/// Tests the records that every language must accept, and those that it must refuse.
struct DocumentsTests {
    private func check(_ kind: String, _ parse: (Data) throws -> Any) throws {
        let documents = try Fixtures.documents(kind)
        #expect(documents.accept.count >= 6 && documents.refuse.count >= 20)
        for one in documents.accept {
            #expect(message { try parse(Data(one.text.utf8)) } == "no error", "\(one.name)")
        }
        for one in documents.refuse {
            do {
                _ = try parse(Data(one.text.utf8))
                Issue.record("\(one.name): accepted")
            } catch let error as MobileNetV4.Failure {
                let found = error.description
                #expect(one.key.isEmpty || found.contains(one.key), "\(one.name): \(found)")
            }
        }
    }

    @Test func manifests() throws { try check("manifest") { try MobileNetV4.Manifest(json: $0) } }

    @Test func plans() throws {
        try check("plan") { try MobileNetV4.Plan(json: $0) }
        let text = try #require(try Fixtures.documents("plan").accept.first).text
        #expect(try MobileNetV4.Plan(json: Data(text.utf8)) == MobileNetV4.Plan())
    }

    @Test func jobs() throws {
        try check("job") { try MobileNetV4.Job(json: $0, in: URL(fileURLWithPath: "/")) }
    }

    @Test func textThatIsNotUTF8() {
        for bytes: [UInt8] in [[0xff], [0x22, 0xc3, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22]] {
            #expect(message { try JSON(Data(bytes)) }.contains("not JSON"))
        }
        for text in [#""\ud800""#, #""\ud800\u0061""#, #""\udc00""#, #""\u12g4""#, #""\x""#] {
            #expect(message { try JSON(Data(text.utf8)) }.contains("not JSON"), "\(text)")
        }
    }
}
