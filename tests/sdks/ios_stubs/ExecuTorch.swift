import Foundation

public protocol Scalar {}
extension Float: Scalar {}
extension UInt8: Scalar {}
extension Int8: Scalar {}
public protocol ValueConvertible {}
public class Value: NSObject {
    public func tensor<T: Scalar>() -> Tensor<T>? { nil }
}
public final class Tensor<T: Scalar>: ValueConvertible {
    public init(data: Data, shape: [Int]) {}
    public func scalars() -> [T] { [] }
}
public class Module: NSObject {
    public init(filePath: String) {}
    public func load(_ method: String) throws {}
    public func forward(_ inputs: [any ValueConvertible]) throws -> [Value] { [] }
}
