import MobileNetV4Kit
import UIKit

/// Shows what an image contains, without SwiftUI.
final class ImageController: UIViewController {
    private let label = UILabel()
    private var network: MobileNetV4?

    override func viewDidLoad() {
        super.viewDidLoad()
        view.addSubview(label)
    }

    func show(_ image: UIImage) {
        Task { [weak self] in
            let top = try await self?.network?.classify(image, top: 1)
            self?.label.text = top?.first?.label
        }
    }
}
