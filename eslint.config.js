import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["**/*", "!src/", "!src/text_recognizer/", "!src/text_recognizer/app/", "!src/text_recognizer/app/browser/**"] },
  js.configs.recommended,
  {
    files: ["src/text_recognizer/app/browser/**/*.js"],
    languageOptions: { sourceType: "module", ecmaVersion: 2024, globals: globals.browser },
    rules: {
      eqeqeq: "error",
      "no-var": "error",
      "prefer-const": "error",
      "no-shadow": "error",
      "no-implied-eval": "error",
      "no-eval": "error",
      "no-new-func": "error",
      "no-restricted-properties": [
        "error",
        { property: "outerHTML", message: "Text reaches the document as text, never as markup." },
        { property: "insertAdjacentHTML", message: "Text reaches the document as text, never as markup." },
      ],
    },
  },
];
