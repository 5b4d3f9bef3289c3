internal import CLibSSH2

/// libssh2 itself, which is set up once, by whoever comes first.
enum Library {
    static let isReady = libssh2_init(0) == 0

    /// From 1.11 on it frees by free(3) some of what it has allocated by our functions.
    static let isMixed = libssh2_version(0x010b00) != nil
}
