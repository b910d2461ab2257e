// The words products are named from: category path, nouns, and by kind of thing four styles of four
// adjectives. A taste group prefers one style per category, so that neighbours read well:
// "Walnut chopping board" goes with "Oak rolling pin".

enum Words {
  enum Kind { case hard, textile, food, film }

  struct Category {
    var path: [String]
    var kind: Kind
    var nouns: [String]
    /// Cents, cheapest and dearest.
    var price: (Int, Int)
  }

  static func styles(_ kind: Kind) -> [[String]] {
    switch kind {
    case .hard:
      [
        ["Walnut", "Oak", "Olive wood", "Acacia"], ["Steel", "Glass", "Slate", "Aluminium"],
        ["Porcelain", "Brass", "Copper", "Enamel"], ["Sky blue", "Coral", "Mint", "Sunflower"],
      ]
    case .textile:
      [
        ["Linen", "Wool", "Organic cotton", "Hemp"], ["Graphite", "Ivory", "Charcoal", "Sand"],
        ["Tartan", "Herringbone", "Striped", "Quilted"], ["Floral", "Coral", "Mint", "Indigo"],
      ]
    case .food:
      [
        ["Farmhouse", "Stone-ground", "Smoked", "Wild"],
        ["Organic", "Low-sugar", "Vegan", "Wholegrain"],
        ["Italian", "Viennese", "Breton", "English"], ["Spiced", "Lemon", "Chilli", "Vanilla"],
      ]
    case .film:
      [
        ["Silent", "Frozen", "Hidden", "Last"], ["Electric", "Infinite", "Broken", "Neon"],
        ["Golden", "Royal", "Paper", "Crimson"], ["Laughing", "Runaway", "Lucky", "Dancing"],
      ]
    }
  }

  /// Told apart once every adjective has met every noun of a category.
  static let suffixes = [
    "", ", large", ", small", ", set of 2", ", set of 4", ", gift box", ", limited edition",
  ]

  private static func make(_ path: [String], _ kind: Kind, _ price: (Int, Int), _ nouns: String)
    -> Category
  {
    Category(
      path: path, kind: kind,
      nouns: nouns.split(separator: ",").map { noun in String(noun.drop(while: { $0 == " " })) },
      price: price)
  }

  static let shop: [Category] = [
    make(
      ["Kitchen", "Preparation"], .hard, (890, 7900),
      "chopping board, mixing bowl, rolling pin, colander, mortar and pestle, pasta machine, kitchen scale, grater"
    ),
    make(
      ["Pantry", "Coffee and tea"], .food, (350, 1900),
      "coffee beans, black tea, green tea, espresso blend, herbal tea, cocoa, biscuits, honey"),
    make(
      ["Kitchen", "Coffee"], .hard, (690, 8900),
      "coffee grinder, coffee pot, espresso cup, milk jug, coffee canister, drip kettle, travel mug, filter holder"
    ),
    make(
      ["Pantry", "Baking"], .food, (190, 990),
      "flour, yeast, sugar, chocolate, oats, granola, jam, syrup"),
    make(
      ["Pantry", "Pasta and sauces"], .food, (220, 1490),
      "spaghetti, semolina, tomato sauce, pesto, olive oil, vinegar, olives, mustard"),
    make(
      ["Kitchen", "Tea"], .hard, (490, 5900),
      "teapot, tea cup, tea strainer, tea caddy, sugar bowl, cake stand, tea tray, kettle"),
    make(
      ["Table", "Serving"], .hard, (590, 4900),
      "dinner plate, soup bowl, serving dish, pitcher, carafe, wine glass, tumbler, salad servers"),
    make(
      ["Table", "Linen"], .textile, (490, 5900),
      "tablecloth, napkin, table runner, placemat, apron, tea towel, oven glove, bread bag"),
    make(
      ["Bedroom", "Bedding"], .textile, (1290, 14900),
      "duvet cover, pillowcase, throw, bedspread, blanket, fitted sheet, cushion, mattress topper"),
    make(
      ["Bathroom", "Towels"], .textile, (590, 7900),
      "bath towel, hand towel, bath mat, robe, face cloth, shower curtain, wash bag, slippers"),
    make(
      ["Home", "Lighting"], .hard, (1290, 19900),
      "table lamp, floor lamp, pendant light, candle holder, lantern, wall light, desk lamp, night light"
    ),
    make(
      ["Garden", "Tools"], .hard, (490, 3900),
      "trowel, hand fork, watering can, pruner, bird feeder, dibber, rake, plant label"),
    make(
      ["Clothing", "Knitwear"], .textile, (990, 11900),
      "scarf, gloves, beanie, jumper, cardigan, socks, waistcoat, poncho"),
    make(
      ["Clothing", "Bags"], .textile, (990, 12900),
      "tote bag, rucksack, pouch, laptop sleeve, purse, weekend bag, belt bag, pencil case"),
    make(
      ["Home", "Decoration"], .hard, (590, 8900),
      "vase, picture frame, clock, fruit bowl, wall hook, planter, tray, figurine"),
    make(
      ["Home", "Storage"], .hard, (990, 13900),
      "shelf, crate, basket, coat rack, umbrella stand, magazine rack, bookend, key box"),
    make(
      ["Office", "Desk"], .hard, (390, 4900),
      "pen pot, letter tray, paperweight, notebook stand, tape dispenser, ruler, card holder, desk organiser"
    ),
    make(
      ["Children", "Toys"], .hard, (690, 6900),
      "train set, building blocks, stacking tower, puzzle, spinning top, dolls' house, marble run, pull-along duck"
    ),
    make(
      ["Children", "Room"], .textile, (790, 7900),
      "cot blanket, bunting, play mat, soft toy, baby sleeping bag, wall hanging, pillow, beanbag"),
    make(
      ["Sport", "Outdoor"], .textile, (990, 19900),
      "tent, sleeping bag, picnic blanket, cool bag, hammock, sun hat, rain jacket, windbreak"),
    make(
      ["Pets", "Dogs"], .textile, (590, 8900),
      "dog lead, dog collar, dog bed, dog coat, treat bag, chew toy, car blanket, dog towel"),
    make(
      ["Bathroom", "Accessories"], .hard, (490, 5900),
      "soap dish, toothbrush holder, bath tray, mirror, storage jar, towel rail, soap dispenser, stool"
    ),
    make(
      ["Garden", "Furniture"], .hard, (2900, 39900),
      "bench, folding chair, side table, parasol base, plant stand, fire bowl, hose reel, arch"),
    make(
      ["Music", "Instruments"], .hard, (990, 24900),
      "ukulele, tambourine, recorder, xylophone, kalimba, drum, harmonica, triangle"),
  ]

  static let grocer: [Category] =
    [
      make(
        ["Fresh", "Vegetables"], .food, (90, 450),
        "tomatoes, carrots, onions, potatoes, salad, peppers, spinach, mushrooms"),
      make(
        ["Fresh", "Fruit"], .food, (120, 590),
        "apples, bananas, oranges, pears, berries, grapes, plums, melon"),
      make(
        ["Dairy", "Cheese"], .food, (190, 890),
        "cheddar, brie, feta, goat's cheese, mozzarella, ricotta, gouda, parmesan"),
      make(
        ["Dairy", "Milk and yoghurt"], .food, (90, 390),
        "milk, yoghurt, cream, butter, kefir, quark, buttermilk, pudding"),
      make(
        ["Bakery", "Bread"], .food, (150, 590),
        "loaf, rolls, baguette, bagels, crackers, toast, rye bread, focaccia"),
      make(
        ["Drinks", "Juice"], .food, (150, 490),
        "apple juice, orange juice, lemonade, iced tea, tonic, cola, smoothie, ginger beer"),
      make(
        ["Frozen", "Meals"], .food, (250, 890),
        "pizza, lasagne, peas, fish fingers, ice cream, soup, dumplings, berries mix"),
    ] + shop.filter { $0.kind == .food }

  static let films: [Category] = [
    ("Drama", "harbour, promise, winter, daughter, letter, bridge, garden, witness"),
    ("Comedy", "wedding, neighbour, holiday, waiter, cousin, suitcase, picnic, dentist"),
    ("Thriller", "key, corridor, stranger, signal, alibi, mirror, passenger, tunnel"),
    ("Science fiction", "orbit, machine, colony, station, horizon, engine, planet, memory"),
    ("Adventure", "island, river, map, expedition, treasure, desert, compass, summit"),
    ("Romance", "summer, melody, balcony, train, umbrella, kiss, lighthouse, waltz"),
    ("Horror", "house, cellar, whisper, attic, forest, doll, lake, shadow"),
    ("Documentary", "ocean, city, harvest, orchestra, workshop, market, migration, glacier"),
    ("Animation", "fox, dragon, robot, kite, pirate, cloud, circus, squirrel"),
    ("Crime", "heist, detective, jewel, judge, accomplice, vault, informer, ransom"),
    ("War", "letter home, trench, crossing, general, armistice, radio, convoy, bridgehead"),
    ("Western", "saddle, frontier, sheriff, canyon, railway, prairie, duel, ranch"),
  ].map { make([$0.0], .film, (290, 1490), $0.1) }

  /// Who buys the first is likely to put the second into the same order.
  static let complements: [(String, String)] = [
    ("coffee grinder", "coffee beans"), ("drip kettle", "filter holder"), ("teapot", "black tea"),
    ("pasta machine", "semolina"), ("rolling pin", "flour"), ("spaghetti", "tomato sauce"),
    ("tablecloth", "napkin"), ("dinner plate", "soup bowl"), ("carafe", "wine glass"),
    ("duvet cover", "pillowcase"), ("bath towel", "hand towel"), ("trowel", "hand fork"),
    ("scarf", "gloves"), ("train set", "building blocks"), ("dog lead", "dog collar"),
    ("tent", "sleeping bag"), ("picnic blanket", "cool bag"), ("soap dish", "soap dispenser"),
    ("tomatoes", "mozzarella"), ("loaf", "butter"), ("pizza", "cola"), ("berries", "yoghurt"),
  ]

  /// Only both of the first two together lead to the third.
  static let bundles: [(String, String, String)] = [
    ("tea cup", "sugar bowl", "tea strainer"), ("milk jug", "espresso cup", "coffee pot"),
    ("salad", "peppers", "feta"), ("pen pot", "letter tray", "desk organiser"),
  ]
}
