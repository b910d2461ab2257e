import Sparse

extension RuleSet {
  package func save(into state: inout StateWriter) {
    state.put(
      "numbers", numbers: Int64(baskets), Int64(minimumCount), Int64(maxLength), Int64(familySize))
    state.put("key_starts", keyStarts)
    state.put("key_bytes", keyBytes)
    state.put("item_ids", itemIDs)
    state.put("set_prefixes", setPrefixes)
    state.put("set_lasts", setLasts)
    state.put("set_counts", setCounts)
    state.put("set_lengths", setLengths)
    state.put("group_antecedents", groupAntecedents)
    state.put("group_starts", groupStarts)
    state.put("consequents", consequents)
    state.put("boths", boths)
    state.put("significances", significances)
    state.put("ps", ps)
    state.put("qs", qs)
    state.put("best_boths", bestBoths)
    state.put("best_antecedents", bestAntecedents)
  }

  package convenience init(restoring state: StateReader) throws(StateError) {
    var parts = RuleSetParts()
    let numbers = try state.numbers("numbers", count: 4)
    parts.baskets = Int(numbers[0])
    parts.minimumCount = Int(numbers[1])
    parts.maxLength = Int(numbers[2])
    parts.familySize = Int(numbers[3])
    parts.keyStarts = try state.vec("key_starts")
    parts.keyBytes = try state.vec("key_bytes")
    parts.itemIDs = try state.vec("item_ids")
    parts.setPrefixes = try state.vec("set_prefixes")
    parts.setLasts = try state.vec("set_lasts")
    parts.setCounts = try state.vec("set_counts")
    parts.setLengths = try state.vec("set_lengths")
    parts.groupAntecedents = try state.vec("group_antecedents")
    parts.groupStarts = try state.vec("group_starts")
    parts.consequents = try state.vec("consequents")
    parts.boths = try state.vec("boths")
    parts.significances = try state.vec("significances")
    parts.ps = try state.vec("ps")
    parts.qs = try state.vec("qs")
    parts.bestBoths = try state.vec("best_boths")
    parts.bestAntecedents = try state.vec("best_antecedents")
    self.init(parts)
  }
}
