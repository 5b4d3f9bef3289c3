internal import CLibSSH2

/// libssh2 itself, which is set up once, by whoever comes first.
enum Library {
    static let isReady = {
        // Not taken down at exit(3): threads that drive sessions run until the process is gone.
        let isLeftAlone = OPENSSL_init_crypto(noCleanupAtExit, nil) == 1
        return isLeftAlone && libssh2_init(0) == 0
    }()

    /// OPENSSL_INIT_NO_ATEXIT.
    private static let noCleanupAtExit: UInt64 = 0x80000

    /// From 1.11 on it frees by free(3) some of what it has allocated by our functions.
    static let isMixed = libssh2_version(0x010b00) != nil
}
