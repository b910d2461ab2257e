// affinity-bench: one file per kernel; this is the table of contents. Fixed seeds, a checksum with every figure.
import Glibc

let arguments = Array(CommandLine.arguments.dropFirst())
switch arguments.first {
case "neighbours": benchNeighbours(arguments: Array(arguments.dropFirst()))
case "rules": benchRules(arguments: Array(arguments.dropFirst()))
case "ranking": benchRanking(arguments: Array(arguments.dropFirst()))
case "apply": benchApply(arguments: Array(arguments.dropFirst()))
case "erase": benchErase(arguments: Array(arguments.dropFirst()))
case "snapshots": benchSnapshots(arguments: Array(arguments.dropFirst()))
case "restart": benchRestart(arguments: Array(arguments.dropFirst()))
case "scaling": benchScaling(arguments: Array(arguments.dropFirst()))
case "soak": benchSoak(arguments: Array(arguments.dropFirst()))
case "customers": benchCustomers(arguments: Array(arguments.dropFirst()))
default:
  print(
    """
    USAGE: affinity-bench KERNEL [arguments]
      neighbours   rows → counts → top-50 neighbours, from scratch and after 1 % more events
      rules        frequent itemsets and rules on simulated and real baskets
      ranking      ranked lists per second with evidence, as JSON bytes [catalogue size]
      apply        decode and Engine.apply, with a tick per million events [events];
                   --pairs: effective pair updates per second, and exact ticks per distinct pair
      soak         a long log with bounded windows: what is held must not grow [events users items]
      erase        one user out of a state of ten million events [events]
      snapshots    write, and read and check, plain and encrypted [folder] [megabytes]
      restart      a snapshot of ten million events and fifty million pairs beside the loop, and the start from it [events users items folder]
      customers    K-means, regressions, SVM and tree over a table in a file [threads]
      scaling      a whole shop of a size: USERS ITEMS EVENTS [TICKS]
    """)
  exit(arguments.isEmpty ? 0 : 2)
}
