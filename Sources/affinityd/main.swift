print("affinityd")
