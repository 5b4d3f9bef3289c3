internal import SemQueue

/// When the turn of a command is over, and how it is ended.
struct TurnEnd {
    var until = GuardState.Until.session
    /// Between SIGTERM and SIGKILL for what a command leaves behind that was told to end.
    var grace = Duration.seconds(5)
    /// Whether people are told what keeps the turn.
    var tells = true
}
