internal import Glibc

/// Why a file of this machine can't be used. Who knows the host makes an ``SSHError`` of it.
package struct FileProblem: Error, Hashable, Sendable {
    /// One sentence that names the file and what to do.
    package let message: String

    init(_ message: String) { self.message = message }

    /// - Parameters:
    ///   - what: what can't be done, such as “read”.
    ///   - number: the system's.
    init(_ what: String, _ path: String, _ number: Int32) {
        let advice =
            switch number {
            case EACCES, EPERM: "; ask its owner for access, or take it out of ssh's configuration"
            case ESPIPE, EISDIR: "; a regular file is wanted"
            case ENOSPC, EDQUOT: "; make room there"
            case EROFS: "; name a file elsewhere in ssh's configuration"
            default: ""
            }
        message = "\(path): can't \(what) it: \(String(cString: strerror(number)))\(advice)"
    }
}
