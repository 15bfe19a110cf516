/** Names that every object has of itself: an object that is used as a map finds them without having been given them. */
export const PROTOTYPE_NAMES: readonly string[] = [...Object.getOwnPropertyNames(Object.prototype), "prototype"];

/** Those of them, or close to them, that can be an app's slug. */
export const PROTOTYPE_SLUGS: readonly string[] = ["constructor", "prototype", "to-string", "valueof", "has-own-property"];
