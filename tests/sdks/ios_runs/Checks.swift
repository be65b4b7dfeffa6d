import MobileNetV4Kit

/// Ends the program unless a block throws an error with these words.
func refused(_ wanted: String, _ block: () async throws -> Any) async {
    do {
        _ = try await block()
        preconditionFailure("no error, must be: \(wanted)")
    } catch let failure as MobileNetV4.Failure {
        precondition(failure.description.contains(wanted), failure.description)
    } catch {
        preconditionFailure("\(error)")
    }
}

/// Ends the program unless this is true.
func check(_ holds: Bool, line: Int = #line) { precondition(holds, "line \(line)") }
