import Foundation

// https://docs.pytorch.org/executorch/stable/using-executorch-ios.html
public protocol Scalar {}
extension Float: Scalar {}
extension UInt8: Scalar {}
extension Int8: Scalar {}
// https://docs.pytorch.org/executorch/stable/using-executorch-ios.html
public protocol ValueConvertible {}
// https://docs.pytorch.org/executorch/stable/using-executorch-ios.html
public class Value: NSObject {
    public func tensor<T: Scalar>() -> Tensor<T>? { nil }
}
// https://docs.pytorch.org/executorch/stable/using-executorch-ios.html
public final class Tensor<T: Scalar>: ValueConvertible {
    public init(data: Data, shape: [Int]) {}
    public func scalars() -> [T] { [] }
}
// https://docs.pytorch.org/executorch/stable/using-executorch-ios.html
public class Module: NSObject {
    public init(filePath: String) {}
    public func load(_ method: String) throws {}
    public func forward(_ inputs: [any ValueConvertible]) throws -> [Value] { [] }
}
