internal import CLibSSH2

/// libssh2 itself, which is set up once, by whoever comes first.
enum Library {
    static let isReady = libssh2_init(0) == 0
}
