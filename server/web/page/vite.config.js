import { defineConfig } from 'vite';
import { svelte } from '@sveltejs/vite-plugin-svelte';

// One page, one script, one style sheet under fixed names: they are built into the server's binary.
export default defineConfig({
  plugins: [svelte()],
  build: {
    target: 'es2020',
    modulePreload: false,
    rollupOptions: { output: { entryFileNames: 'app.js', chunkFileNames: '[name].js', assetFileNames: 'app.[ext]', inlineDynamicImports: true } },
  },
});
